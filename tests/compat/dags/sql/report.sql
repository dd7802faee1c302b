{% include "head.sql" %}
SELECT count(*), sum(amount) FROM {{ table_of(ds) }} WHERE amount > {{ params.smallest }}
