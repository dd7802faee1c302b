"""The control API: HTTP in Airflow's words over the metadata database, and the one door for people's actions.

Decides who may ask for what, how rows become answers, and how an action is handed to the scheduler. Does not
write the state of a run or a task instance: the scheduler does. Composed by `app`; started by `dagdeckd`.
"""
