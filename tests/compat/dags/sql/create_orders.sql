-- {{ dag.dag_id }} at {{ ds }}
CREATE TABLE {{ table_of(ds) }} (id INTEGER, amount REAL);
{% for amount in [1, 10, 20] %}
INSERT INTO {{ table_of(ds) }} VALUES ({{ loop.index }}, {{ amount }});
{% endfor %}
