"""What stands behind the Explorer: the engine with the model thread, the scan, and one module a subject.

`engine` finds, loads and caches; `scan_session` runs the scan; the books (`prompt_book`, `head_book`,
`atlas_book`, `example_book`) and `explaining` answer questions from the cache or on the model thread;
`answers` puts results together there; `places`, `published` and `sessions` are plain data.
"""
