"""A finished study as one page."""

from symnas.reporting.html_report import write_report as write_report
