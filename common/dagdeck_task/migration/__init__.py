"""`dagdeck dags migrate-check`: what becomes of the DAG files of an Airflow installation.

Decides nothing itself: `files` loads them, `imports` reads them without loading, `dates` compares their runs with
Airflow 2, `report` prints. Run as a program: `python -m dagdeck_task.migration FOLDER`.
"""
