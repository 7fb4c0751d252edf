"""Writing a survey to a folder: the report as a page and the tables, as `survey -o` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_lookups.progress import Count, heard_by, listener
from tui_lookups.tui.paint.text_layout import fit_middle
from tui_lookups.tui.screens.path_dialog import PathDialog
from tui_lookups.visible import visible

if TYPE_CHECKING:
    from pathlib import Path

    from tui_lookups.explorer import Explorer
    from tui_lookups.results import Survey

_FOLDER = "lookups-survey"


class SurveyExportScreen(PathDialog[str]):
    """Returns a sentence saying where the report is."""

    def __init__(self, explorer: Explorer, survey: Survey) -> None:
        note = (
            f"Write the report (report.html) and the tables of these {len(survey.neurons):,} neurons to the "
            "folder; files of these names are replaced"
        )
        super().__init__(explorer, "Export the survey", note, _FOLDER)
        self._survey = survey

    def submit(self, path: Path) -> None:
        """Ask for the folder to be written."""
        self.queries.ask("export", lambda: self._write(path), self._written, self.failed)
        self.working("Gathering the report…")

    def _write(self, folder: Path) -> str:
        from tui_lookups.exports.report import of_survey
        from tui_lookups.exports.survey_folder import write_folder
        from tui_lookups.exports.writing import check_folder

        check_folder(folder, overwrite=True)  # before minutes of work
        hear, count = listener(), Count("gathering the report", len(self._survey.neurons), "neurons")
        with heard_by(None):  # its questions are parts of this
            report = of_survey(self.explorer, self._survey, lambda done, _: hear(count.at(done)))
        write_folder(report, folder, "parquet")
        return visible(str((folder / "report.html").absolute()))

    def _written(self, page: str) -> None:
        self.dismiss("Written: " + fit_middle(page, self.app.size.width - 10))
