"""Assets by decorator: one task for several, named by other decorated ones, reading what the first has returned."""

from airflow.sdk import Asset, Context, asset, dag, task


@asset(schedule=None, uri="https://stars.example/api")
def star_catalogue(self) -> dict:
    assert self.uri == "https://stars.example/api"
    return {"stars": [{"name": "Vega", "parsec": 7.68}]}


@asset.multi(schedule=star_catalogue, outlets=[Asset(name="star_names"), Asset(name="star_distances")])
def star_columns(star_catalogue: Asset, context: Context) -> list:
    found = context["ti"].xcom_pull(
        dag_id=star_catalogue.name, task_ids=star_catalogue.name, include_prior_dates=True
    )
    return [found["stars"][0]["name"], found["stars"][0]["parsec"]]


@asset(schedule=None)
def near_stars():
    return 1


@asset(schedule=None)
def far_stars():
    return 2


@asset.multi(outlets=[near_stars, far_stars], schedule=None, tags=["stars"])
def all_stars():
    return None


@dag(schedule=Asset("star_names") & Asset("star_distances"))
def star_report():
    @task.short_circuit(inlets=[Asset("star_names")])
    def gate(inlet_events=None, triggering_asset_events=None):
        assert sorted(each.name for each in triggering_asset_events) == ["star_distances", "star_names"]
        newest = max(inlet_events[Asset("star_names")], key=lambda event: event.timestamp, default=None)
        return newest is not None and newest.source_task_id == "star_columns"

    @task(outlets=Asset("star_report"))
    def write(**context):
        assert context["triggering_asset_events"].get(Asset("no_such_star"), []) == []
        assert "logical_date" not in context

    gate() >> write()


star_report()
