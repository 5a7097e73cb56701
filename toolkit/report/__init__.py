"""Renders a result to one offline HTML page and a short markdown file. A pure rendering: nothing is computed anew."""
