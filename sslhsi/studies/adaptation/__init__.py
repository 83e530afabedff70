"""Domain-adaptive pretraining on images and on cubes."""

from sslhsi.studies.adaptation import charts, study
from sslhsi.studies.study import Study

STUDY = Study("adaptation", "Domain-adaptive pretraining", study.Settings, study.run, charts.charts, study.COLUMNS)
