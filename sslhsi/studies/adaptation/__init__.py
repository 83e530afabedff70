"""Domain-adaptive pretraining on images and on cubes."""

from sslhsi.studies.adaptation import charts, settings, study
from sslhsi.studies.adaptation.bench import AdaptationRow
from sslhsi.studies.study import Study

STUDY = Study("adaptation", "Domain-adaptive pretraining", settings.Settings, study.run, charts.charts, AdaptationRow)
