"""Freezing policies on pretrained networks."""

from sslhsi.studies.freezing import charts, study
from sslhsi.studies.study import Study

STUDY = Study("freezing", "Freezing policies", study.Settings, study.run, charts.charts)
