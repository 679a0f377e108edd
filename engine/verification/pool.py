"""placeholder"""


class GraderPool: ...


def grade_many(): ...
