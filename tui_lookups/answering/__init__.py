"""What stands behind the Explorer: the engine with the model thread, the scan, and one module a subject.

`engine` finds, loads and caches; `scan_session` runs the scan; a service a subject (`congruence_service`,
`atlas_service`, `prompt_service`, `head_service`, `prediction_service`, `example_service`), `explaining` and
`head_scores` answer questions from the cache or on the model thread; `answers` puts results together there;
`peak_inputs`, `published` and `sessions` are plain data.
"""
