"""The app's widgets, one a file. A widget shows what it is given and posts messages; it asks nothing."""
