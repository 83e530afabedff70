"""Multitask learning of several labelled scenes."""

from sslhsi.studies.multitask import charts, study
from sslhsi.studies.study import Study

STUDY = Study("multitask", "Multitask learning", study.Settings, study.run, charts.charts)
