"""Data-fusion transfer with AINet."""

from sslhsi.studies.fusion import charts, study
from sslhsi.studies.study import Study

STUDY = Study("fusion", "Data-fusion transfer", study.Settings, study.run, charts.charts)
