"""The procedures that learn from events: from a name to a model behind `Online`, with parameters like a task's.

All of them learn by `learn_one`, for no `learn_many` here leaves the same model: after 1,000 rows of 12 features, given
in tens, predictions of River's linear regression are up to 1.2 away (targets have a standard deviation of 2.6), in
hundreds up to 7.2, logistic regression's P by 0.32 and 0.47, scaled naive Bayes' by 0.02, at 6,000 rows a second in
tens and 72,000 in hundreds against 59,000 one by one.
"""

from typing import Any, ClassVar, Final, Literal

from pydantic import Field, ValidationError

from core.config.tasks import Parameter
from core.config.validation_messages import messages
from core.errors import ConfigurationError
from training.models.online import Classifier, Online, PerSeries, Regressor, TargetKind
from training.models.river_params import (
    HoltWintersParameters,
    LinearParameters,
    LogisticParameters,
    Parameters,
    SnarimaxParameters,
)


class OnlineProcedure(Parameters):
    """One way to learn from rows as they come; its fields are the parameters that a task file may give."""

    is_steady: ClassVar[bool] = True
    outcome: ClassVar[TargetKind] = "value"

    def online(self, outcome: TargetKind, seed: int) -> Online:
        """A model that has learned nothing. Raises ConfigurationError when it cannot predict such an outcome."""
        check_outcome(type(self), outcome)
        return Regressor(self.river(seed)) if outcome == "value" else Classifier(self.river(seed))

    def river(self, seed: int) -> Any:
        """The River model; `seed` is that of its random numbers."""
        raise NotImplementedError


class LinearRegression(LinearParameters, OnlineProcedure):
    """Scaler | TargetStandardScaler(SteadyRegression)."""

    def river(self, seed: int) -> Any:  # noqa: ARG002 (nothing in it is random)
        """Weights of zero."""
        return self.pipeline()


class RidgeRegression(LinearParameters, OnlineProcedure):
    """The linear regression whose weights are drawn to zero by their squares."""

    l2: float = Field(default=0.01, ge=0)

    def river(self, seed: int) -> Any:  # noqa: ARG002
        """Weights of zero."""
        return self.pipeline(l2=self.l2)


class LassoRegression(LinearParameters, OnlineProcedure):
    """The linear regression whose weights are drawn to zero by their size, and kept there when they matter little."""

    l1: float = Field(default=0.01, ge=0)

    def river(self, seed: int) -> Any:  # noqa: ARG002
        """Weights of zero."""
        return self.pipeline(l1=self.l1)


class _Tree(OnlineProcedure):
    """A Hoeffding tree on scaled features.

    Unscaled, River's splitters keep a node for each distinct value: a feature that only grows makes a chain of them
    too long to pickle, and one that stays below 0.1 is never split on.
    """

    max_depth: int = Field(default=10, ge=1, le=50)
    grace_period: int = Field(default=200, ge=10, description="Rows of a leaf between two looks for a split.")

    def tree(self) -> Any:
        """One leaf. A regression tree's leaves predict the mean or a linear regression, whichever was better lately."""
        # Here, as in all procedures: River takes seconds and 120 MB, which the check of a task file need not cost.
        from river import preprocessing, tree
        from river.tree.splitter import QOSplitter

        if self.outcome == "binary":
            return tree.HoeffdingTreeClassifier(self.grace_period, self.max_depth)
        leaf = preprocessing.TargetStandardScaler(self.sgd(0.01))
        return tree.HoeffdingTreeRegressor(
            self.grace_period, self.max_depth, leaf_model=leaf, splitter=QOSplitter(radius=0.25)
        )


class DecisionTree(_Tree):
    """Scaler | Hoeffding tree, a regression tree."""

    def river(self, seed: int) -> Any:  # noqa: ARG002
        """One leaf."""
        from training.models.river_ext import Scaler

        return Scaler() | self.tree()


class DecisionTreeClassifier(DecisionTree):
    """Scaler | Hoeffding tree, of classes."""

    outcome: ClassVar[TargetKind] = "binary"


class BaggingRegressor(_Tree):
    """Scaler | trees, each of which learns every row a random number of times; the prediction is their mean.

    Trees, because linear regressions in a bag predict what one of them does.
    """

    max_depth: int = Field(default=6, ge=1, le=50)
    members: int = Field(default=10, ge=1, le=100)

    def river(self, seed: int) -> Any:
        """As many leaves as members."""
        from river import ensemble

        from training.models.river_ext import Bag, Scaler

        bag = Bag if self.outcome == "value" else ensemble.BaggingClassifier
        return Scaler() | bag(self.tree(), self.members, seed)


class BaggingClassifier(BaggingRegressor):
    """Scaler | classification trees in a bag."""

    outcome: ClassVar[TargetKind] = "binary"


class KnnRegressor(OnlineProcedure):
    """The mean of the nearest of the last rows, by the distance of scaled features; one that is missing is its mean."""

    neighbours: int = Field(default=5, ge=1)
    window: int = Field(default=200, ge=1, le=10_000)

    def river(self, seed: int) -> Any:  # noqa: ARG002
        """An empty window."""
        from river import neighbors

        from training.models.river_ext import Scaler

        # Exact, over a window. SWINN, River's default, keeps a set in its class that all models of a process share, and
        # without a seed answers otherwise at each replay.
        return Scaler() | neighbors.KNNRegressor(self.neighbours, neighbors.LazySearch(self.window))


class AmfRegressor(OnlineProcedure):
    """Scaler | aggregated Mondrian forest. Without `max_nodes` it grows with every row (River's default)."""

    trees: int = Field(default=10, ge=1, le=100)
    max_nodes: int = Field(default=500, ge=3, le=5_000, description="Nodes of one tree; then its leaves learn on.")
    step: float = Field(default=1.0, gt=0)

    def river(self, seed: int) -> Any:
        """No tree yet: they begin with the first row."""
        from river import forest

        from training.models.river_ext import Scaler

        return Scaler() | forest.AMFRegressor(self.trees, self.step, max_nodes=self.max_nodes, seed=seed)


class HoltWinters(HoltWintersParameters, OnlineProcedure):
    """Exponential smoothing of level, trend and season, for each series by itself."""

    def online(self, outcome: TargetKind, seed: int) -> Online:  # noqa: ARG002
        """No series yet."""
        check_outcome(type(self), outcome)
        return PerSeries(self.forecaster(), self.season, positive_only=self.multiplicative)


class Snarimax(SnarimaxParameters, OnlineProcedure):
    """Seasonal ARIMA by an online regression, for each series by itself. The defaults suit a monthly series."""

    p: int = Field(default=12, ge=0)
    d: int = Field(default=1, ge=0, le=2)
    q: int = Field(default=12, ge=0)
    m: int = Field(default=12, ge=1)
    sd: int = Field(default=1, ge=0, le=2)

    def online(self, outcome: TargetKind, seed: int) -> Online:  # noqa: ARG002
        """No series yet."""
        check_outcome(type(self), outcome)
        return PerSeries(self.forecaster(), self.values_needed)


class LogisticRegression(LogisticParameters, OnlineProcedure):
    """Scaler | LogisticRegression. A rate ten times that of `river_logistic_regression`: these streams start empty."""

    outcome: ClassVar[TargetKind] = "binary"
    learning_rate: float = Field(default=0.05, gt=0)

    def river(self, seed: int) -> Any:  # noqa: ARG002
        """Weights of zero."""
        return self.pipeline()


class GaussianNb(OnlineProcedure):
    """Scaler | naive Bayes with a normal distribution of each feature in each class."""

    outcome: ClassVar[TargetKind] = "binary"

    def river(self, seed: int) -> Any:  # noqa: ARG002
        """No class yet."""
        from river import naive_bayes

        from training.models.river_ext import Scaler

        return Scaler() | naive_bayes.GaussianNB()


ONLINE: Final[dict[str, type[OnlineProcedure]]] = {
    "linear_regression": LinearRegression,
    "ridge_regression": RidgeRegression,
    "lasso_regression": LassoRegression,
    "decision_tree": DecisionTree,
    "bagging_regressor": BaggingRegressor,
    "knn_regressor": KnnRegressor,
    "amf_regressor": AmfRegressor,
    "holt_winters": HoltWinters,
    "snarimax": Snarimax,
    "logistic_regression": LogisticRegression,
    "decision_tree_classifier": DecisionTreeClassifier,
    "bagging_classifier": BaggingClassifier,
    "gaussian_nb": GaussianNb,
}


def declared(name: str, parameters: dict[str, Parameter], outcome: TargetKind) -> OnlineProcedure:
    """The procedure of a name with its parameters, checked; River is not imported.

    Raises ConfigurationError for an unknown name, an outcome that it cannot predict, or parameters it cannot use.
    """
    found = ONLINE.get(name)
    if found is None:
        raise ConfigurationError(f"There is no online procedure {name!r}.", f"Known procedures: {', '.join(ONLINE)}.")
    check_outcome(found, outcome)
    try:
        return found.model_validate(parameters)
    except ValidationError as error:
        known = ", ".join(found.model_fields) or "none"
        raise ConfigurationError(
            f"{name} cannot use its parameters: {'; '.join(messages(error, found))}.", f"Known parameters: {known}."
        ) from None


def check_outcome(procedure: type[OnlineProcedure], outcome: Literal["value", "binary"]) -> None:
    """Raises ConfigurationError when a procedure predicts another kind of outcome."""
    if procedure.outcome == outcome:
        return
    name = next(name for name, known in ONLINE.items() if known is procedure)
    fitting = ", ".join(name for name, known in ONLINE.items() if known.outcome == outcome)
    raise ConfigurationError(f"{name} predicts a {procedure.outcome}, not a {outcome}.", f"These do: {fitting}.")
