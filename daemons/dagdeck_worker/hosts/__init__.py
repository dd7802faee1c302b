"""Adapters of `dagdeck_core.process_port.ProcessHost`: `linux` (with the keeper) and `portable` (with a watchdog)."""
