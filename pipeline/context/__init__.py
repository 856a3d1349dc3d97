"""Context: who ran where, when, whose, and what is allowed here. Every join is as of event time.

names.py       canonical names of VMs, hosts and users, as expressions over hits
policies.py    policy.yml: what is allowed here (frozen, picklable, empty by default)
identities.py  identities.csv: raw principal -> person or service
files.py       the folder that the user gives (setting `context`), checked; errors name file and row
moves.py       hits of placement rules, and inventory snapshots, as moves
placement.py   moves -> intervals of where each VM was
addresses.py   facts about addresses -> intervals of which VM had them
tenants.py     whose: tenant and trust zone of intervals
lookup.py      as-of join: rows + intervals -> columns
tables.py      all of it on Spark, and the table `placement` of the lake

All but tables.py are pure functions on Polars frames without Spark. Times are Int64, microseconds UTC; null is "unknown".
"""
