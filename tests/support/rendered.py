"""A report as its pages, with its brief."""

from artifactscan.audit.brief.night_brief import night_brief
from artifactscan.audit.page.html import render_html
from artifactscan.audit.page.markdown import render_markdown
from artifactscan.audit.report_data import Report


def html_of(report: Report) -> str:
    return render_html(report, night_brief(report))


def markdown_of(report: Report) -> str:
    return render_markdown(report, night_brief(report))
