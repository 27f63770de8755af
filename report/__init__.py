"""Renderers. A renderer decides nothing."""
