"""What the API answers with: Airflow 3.3's response schemas, and DagDeck's own, as structs.

Decides names and types of every field on the wire; the OpenAPI document's response schemas are made from
these. Does not read the database (`queries`) nor decide who may see what (`permissions`).
"""
