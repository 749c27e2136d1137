"""Values that tests are about, made of what they name and nothing else."""

from kallglot_async.models import Analysis, AnalysisStatus


def analysis(status="complete", **fields):
    return Analysis(id="ana_1", object="analysis", status=AnalysisStatus(status), **fields)
