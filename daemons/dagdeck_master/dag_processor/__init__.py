"""The DAG processor: watches the DAG folder, stores it as bundles, and parses them in processes apart.

`app` composes it, `processor` is its loop, `pool` and `child_process` run the parsing children, `child` is what
runs inside them. Only `child` imports user code.
"""
