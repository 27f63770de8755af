"""Documents from templates: the contract, verdict tables, the HTML report."""
