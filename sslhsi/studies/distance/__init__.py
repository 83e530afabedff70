"""Proxy A-distances between the domains of a corpus."""

from sslhsi.studies.distance import charts, study
from sslhsi.studies.study import Study

STUDY = Study("distance", "Distances between domains", study.Settings, study.run, charts.charts, study.DistanceRow)
