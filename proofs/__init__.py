"""Obligations, scenarios built for them, solving, verdicts, replay, and the `prove` command."""
