"""The rooms of the app: what may import what, type-only and late imports counted."""

from __future__ import annotations

from tests.test_circles import package_imports

PACKAGE = "tui_lookups.tui"
ORDER = (
    {"running"},
    {"app"},
    {"keymap", "palette_commands"},
    {"screens"},
    {"panes"},
    {"base_app"},
    {"widgets"},
    {"text"},
    {"state", "paint"},
    {"terminal"},
)
"""Above may import below, and its own room."""


def imports() -> dict[str, set[str]]:
    """From each module of the app to those of the app that it imports, wherever in it that stands."""
    of_package = package_imports()
    of_app = {module for module in of_package if f"{module}.".startswith(f"{PACKAGE}.")}
    return {module: of_package[module] & of_app for module in of_app}


def test_rooms_import_only_what_lies_below_them() -> None:
    level = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
    upwards = [
        f"{module} -> {imported}"
        for module, found in imports().items()
        for imported in found
        if (here := level.get(_room(module))) is not None
        and (there := level.get(_room(imported))) is not None
        if _room(module) != _room(imported) and there <= here
    ]
    assert upwards == []


def _room(module: str) -> str:
    return module.removeprefix(PACKAGE).strip(".").partition(".")[0]


def test_every_room_has_its_place() -> None:
    known = {room for rooms in ORDER for room in rooms}
    rest = {_room(module) for module in imports()} - known
    assert rest == {""}
