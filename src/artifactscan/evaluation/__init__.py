"""How far a checkpoint can be trusted: splits, figures with intervals, calibration, thresholds, and their report.

splits       who is trained on, tuned on and tested on
predictions  the table everything else reads
tuning       calibration and thresholds from predictions that are neither training nor test
evaluate     figures of predictions under one protocol, with intervals over videos
report       the same for a person, as Markdown, Parquet and JSON
"""
