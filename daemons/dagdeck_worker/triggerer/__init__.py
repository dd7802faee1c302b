"""The triggerer: the process of a worker that runs triggers. Its worker's side is `dagdeck_worker.trigger_host`."""
