"""Certificates checked, with neither encoder nor solver."""
