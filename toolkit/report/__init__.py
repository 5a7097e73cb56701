"""Renders a result to one offline HTML page and a short markdown file. A pure rendering: nothing is computed anew."""

from toolkit.report.html import ReportPaths, render, write_report
from toolkit.report.markdown import markdown

__all__ = ["ReportPaths", "markdown", "render", "write_report"]
