"""Texts in the columns of .parquet and .arrow files.

1. The column is the one that `--text-field` names, or that leads to it; by itself `text` where that holds
   strings, else the only column of strings. Where that leaves a choice, CorpusError lists the columns.
2. Rows are read in batches of a few megabytes by what the file says of their size; where a dictionary of
   texts expands more than eight-fold they are read one by one. A text of more than `MOST_TEXT_BYTES` is
   refused, before it is read where the file's own figures give it away.
3. What of a row is its text: records.py. What is no UTF-8, or not what its ending says, is a CorpusError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_lookups.corpus.documents import unreadable
from tui_lookups.corpus.records import Records, TextField, listed, no_field
from tui_lookups.errors import CorpusError, first_line

if TYPE_CHECKING:
    import pyarrow

MOST_TEXT_BYTES = 64_000_000
"""Longest text in one row."""

_BATCH_BYTES = 4 << 20
_MOST_ROWS = 256
_USUAL_RATIO = 8


def text_column(columns: Iterable[tuple[str, bool]], where: str, field: TextField | None = None) -> str:
    """Which column holds the texts. `columns`: names, and whether they hold strings.

    Args:
        field: the one that was named: a column or, with dots, a way that begins with one.
    Raises:
        CorpusError: there is none, or more than one to choose from.
    """
    column_names = list(columns)
    if field is not None:
        names = [name for name, _ in column_names]
        for name in (field.name, field.name.partition(".")[0]):
            if name in names:
                return name
        raise no_field(where, "column", field.name, names)
    texts = [name for name, is_text in column_names if is_text]
    if "text" in texts:
        return "text"
    if len(texts) == 1:
        return texts[0]
    problem = "no column of text" if not texts else "no column `text`, and several columns of text"
    raise CorpusError(
        f"{where} has {problem}; its columns are {listed(name for name, _ in column_names)}.",
        "Name one of them with --text-field, or call it `text`.",
    )


def read_parquet(path: Path, records: Records) -> Iterator[str]:
    """The texts of a .parquet file, row by row."""
    import pyarrow.parquet as parquet

    with _readable(path), parquet.ParquetFile(path, pre_buffer=False) as file:
        column = _begin(file.schema_arrow, path, records)
        paths = [file.metadata.schema.column(i).path for i in range(len(file.schema))]
        # A nested column is several: messages.list.element.role, messages.list.element.content.
        leaves = [
            i
            for i, path_in_schema in enumerate(paths)
            if path_in_schema == column or path_in_schema.startswith(column + ".")
        ]
        row = 0
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            chunks = [group.column(leaf) for leaf in leaves]
            rows = min(_rows_at_once(chunk, group.num_rows, path) for chunk in chunks)
            for batch in file.iter_batches(rows, row_groups=[number], columns=[column]):
                yield from _texts(batch.column(0), column, path, row, records)
                row += batch.num_rows
            records.count(sum(chunk.total_compressed_size for chunk in chunks))


def _rows_at_once(chunk: Any, n_rows: int, path: Path) -> int:
    """How many rows of a column chunk to read together."""
    values, size = max(1, n_rows), int(chunk.total_uncompressed_size)
    if size // values > MOST_TEXT_BYTES:
        raise _too_long(path)
    if chunk.has_dictionary_page and size > _USUAL_RATIO * chunk.total_compressed_size:
        # Many rows may stand for copies of one long text: a row can be as long as the whole chunk.
        return min(_MOST_ROWS, max(1, _BATCH_BYTES // size))
    return min(_MOST_ROWS, max(1, _BATCH_BYTES * values // max(1, size)))


def read_arrow(path: Path, records: Records) -> Iterator[str]:
    """The texts of an .arrow file as `save_to_disk` of the `datasets` package writes it (a stream)."""
    import pyarrow

    with _readable(path), pyarrow.memory_map(str(path)) as mapped, pyarrow.ipc.open_stream(mapped) as stream:
        column = _begin(stream.schema, path, records)
        row, seen = 0, 0
        for batch in stream:
            values = batch.column(column)
            values.validate(full=True)
            yield from _texts(values, column, path, row, records)
            row += batch.num_rows
            records.count(mapped.tell() - seen)
            seen = mapped.tell()


def _begin(schema: pyarrow.Schema, path: Path, records: Records) -> str:
    """The column that holds the texts, whose records follow."""
    columns = [(field.name, _is_text(field.type)) for field in schema]
    column = text_column(columns, str(path), records.field)
    records.begin_file(str(path), column, schema.names)
    return column


def _is_text(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    plain = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain))


def _texts(values: Any, column: str, path: Path, first_row: int, records: Records) -> Iterator[str]:
    """The parts of the texts in an Arrow array; decoded one at a time."""
    for row, value in enumerate(values, first_row):
        held = value.as_buffer() if hasattr(value, "as_buffer") else None
        if held is not None and held.size > MOST_TEXT_BYTES:
            raise _too_long(path)
        try:
            text = value.as_py()
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{path}, row {row}: the text is not UTF-8.", "Write the column as UTF-8 strings."
            ) from error
        yield from records.texts({column: text})


def _too_long(path: Path) -> CorpusError:
    return CorpusError(
        f"{path} holds a text of more than {MOST_TEXT_BYTES:,} bytes.", "Write long texts as several rows."
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Arrow's errors as CorpusError."""
    from pyarrow import ArrowException

    try:
        yield
    except (ArrowException, EOFError) as error:
        why = first_line(error)[:200]
        raise CorpusError(
            f"{path} cannot be read: it is damaged, truncated or not what its ending says ({why}).",
            "Fetch or write the file again.",
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error
