"""Texts to token windows: sources (`readers`) and the windows cut from them (`corpus`). No torch."""
