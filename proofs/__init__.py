"""Obligations, scenarios built for them, solving, verdicts, replay."""
