"""The subcommands of `tui_lookups.cli`, what they share (`invocation`), and how answers are printed."""
