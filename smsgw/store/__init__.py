"""Stores everything in one database, SQLite or PostgreSQL: the engine, the tables, the migrations."""
