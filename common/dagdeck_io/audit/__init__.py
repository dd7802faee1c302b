"""The chain over audit records: how they are linked, sealed, exported and verified.

Decides the exact form of what is hashed and signed, and what verification finds. Does not read or write the database
(`dagdeck_io.db.audit_chain` does) and makes no records.
"""
