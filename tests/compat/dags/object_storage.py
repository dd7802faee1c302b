"""Files through ObjectStoragePath, by URL."""

import tempfile
from datetime import datetime

from airflow.decorators import dag, task
from airflow.io.path import ObjectStoragePath

BASE = ObjectStoragePath("file://" + tempfile.gettempdir())


@dag(start_date=datetime(2024, 1, 1), schedule=None, catchup=False)
def object_storage():
    @task
    def write(run_id=None) -> ObjectStoragePath:
        folder = BASE / f"dagdeck_{run_id}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "numbers.txt"
        with path.open("w") as file:
            file.write("1\n2\n3\n")
        return path

    @task
    def read(path: ObjectStoragePath):
        assert path.exists()
        with path.open() as file:
            assert sum(int(line) for line in file) == 6
        path.unlink()
        path.parent.rmdir()

    read(write())


object_storage()
