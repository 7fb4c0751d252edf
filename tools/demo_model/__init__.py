"""How the packaged model was made and measured; none of it is in the wheel (tui_lookups/demo/README.md)."""
