"""Words and figures of a table in one page that opens offline. Importing this loads neither Altair nor torch."""

from prunescope.report.build import report as report
from prunescope.report.chapters import Chapter as Chapter
from prunescope.report.chapters import Report as Report
from prunescope.report.provenance import ReportOptions as ReportOptions
from prunescope.report.writing import write_figures as write_figures
from prunescope.report.writing import write_page as write_page
