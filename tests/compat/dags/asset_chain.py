"""Assets of Airflow 3: decorated ones that feed one another, extra on the event, an alias."""

from airflow.sdk import DAG, Asset, AssetAlias, Metadata, asset, task

measured = Asset(name="measured_depths", uri="file:///tmp/dagdeck/measured_depths.json")


@asset(schedule=None, uri="file:///tmp/dagdeck/soundings.json")
def soundings():
    return [12, 15, 9]


@asset(schedule=[soundings])
def deepest(soundings):
    return {"depth": 15}


with DAG(dag_id="measure_depths", schedule=None):

    @task(outlets=[measured])
    def measure(*, outlet_events):
        outlet_events[measured].extra = {"rows": 3}

    @task(outlets=[AssetAlias("depth_files")])
    def write_files():
        yield Metadata(Asset("file:///tmp/dagdeck/depth_1.json"), {"n": 1}, AssetAlias("depth_files"))

    measure() >> write_files()

with DAG(dag_id="use_depths", schedule=[measured]):

    @task(inlets=[measured])
    def use(*, inlet_events):
        assert inlet_events[measured][-1].extra == {"rows": 3}

    use()

with DAG(dag_id="use_depth_files", schedule=AssetAlias("depth_files")):

    @task
    def count(triggering_asset_events=None):
        [event] = triggering_asset_events[AssetAlias("depth_files")]
        assert event.extra == {"n": 1}
        assert len(triggering_asset_events[Asset("file:///tmp/dagdeck/depth_1.json")]) == 1

    count()
