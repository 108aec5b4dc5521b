"""Plotly figures from tables: pure functions without state, in one look."""
