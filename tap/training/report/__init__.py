"""``report.html`` of a run folder: one page that opens offline and says what the run is, how it went and how to go on."""

from tap.training.report.sections import Picture, Section, Table, Text
from tap.training.report.writing import REPORT, write_report

__all__ = ["REPORT", "Picture", "Section", "Table", "Text", "write_report"]
