"""The report of a run: page, tables, plots and templates; two runs compared."""
