"""From a scenario to formulas over clocks. An encoding knows no filesystem."""
