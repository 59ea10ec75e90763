"""The restricted Boltzmann machine, of sparse or dense links."""

import torch
from torch import Tensor, nn

from lib import layers, sampling
from lib._boundary import check_type, check_whole
from lib.layers import SparseLinear
from lib.support import Support

START = 0.05  # standard deviation of the weights, as in the authors' code
ROWS = 2**22  # hidden values held at a time


class RBM(nn.Module):
    r"""Binary visible units v and hidden units h that know each other by the links alone.

    .. math:: P(v, h) = \frac{e^{a \cdot v + c \cdot h + h^T W v}}{Z}, \qquad
        P(h_j = 1 | v) = \sigma(c_j + (W v)_j), \qquad P(v_i = 1 | h) = \sigma(a_i + (W^T h)_i)

    Source: [Hinton2002]; sparse ones [Mocanu2018], Performance on RBMs. Weights start as
    N(0, 0.05²), biases at 0.

    Args:
        n_visible, n_hidden: number of units.
        density, er_epsilon, support: of the links, as :class:`lib.layers.SparseLinear` takes them;
            none of them: dense.
        generator: source of randomness, on the CPU.
        start: standard deviation of the first weights.
        dtype: of the parameters.
    Raises: ValueError if more than one of density, er_epsilon and support is given, or one is out
        of range.

    Example:
        >>> rbm = RBM(180, 250, er_epsilon=11, generator=torch.Generator())
        >>> rbm.hidden_probabilities(torch.ones(1, 180)).shape
        torch.Size([1, 250])
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        density: float | None = None,
        er_epsilon: float | None = None,
        support: Support | None = None,
        generator: torch.Generator,
        start: float = START,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_whole("n_visible", n_visible, least=1)
        check_whole("n_hidden", n_hidden, least=1)
        check_type("generator", generator, torch.Generator)
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype = {dtype} has no gradients: give a floating one")
        options = {"start": start, "generator": generator}
        widths = n_visible, n_hidden
        if density is None and er_epsilon is None and support is None:
            self.links = layers.Linear(*widths, **options)
        else:
            options |= {"density": density, "er_epsilon": er_epsilon, "support": support}
            self.links = SparseLinear(*widths, **options)
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        self.to(dtype or torch.get_default_dtype())

    @property
    def n_visible(self) -> int:
        """Number of visible units."""
        return self.links.in_features

    @property
    def n_hidden(self) -> int:
        """Number of hidden units."""
        return self.links.out_features

    @property
    def hidden_bias(self) -> nn.Parameter:
        """(n_hidden,) float, c."""
        return self.links.bias

    @property
    def weights(self) -> nn.Parameter:
        """Weights of the links: (nnz,) float, or (n_hidden, n_visible) of a dense one."""
        if isinstance(self.links, SparseLinear):
            return self.links.values
        return self.links.weight

    @property
    def n_links(self) -> int:
        """Number of links whose weight is not 0: a link just grown changes nothing yet."""
        return int(self.weights.count_nonzero())

    def to_dense(self) -> Tensor:
        """(n_hidden, n_visible) float, the weight matrix with its zeros."""
        if isinstance(self.links, SparseLinear):
            return self.links.to_dense().detach()
        return self.links.weight.detach()

    @torch.no_grad()
    def hidden_probabilities(self, v: Tensor) -> Tensor:
        """(B, n_hidden) P(h = 1 | v) of states ``v`` (B, n_visible) float."""
        columns = v.t().contiguous()
        return sampling.probabilities(self.links, columns, self.hidden_bias).t()

    @torch.no_grad()
    def visible_probabilities(self, h: Tensor) -> Tensor:
        """(B, n_visible) P(v = 1 | h) of states ``h`` (B, n_hidden) float."""
        columns = h.t().contiguous()
        return sampling.probabilities(self.links, columns, self.visible_bias, down=True).t()

    @torch.no_grad()
    def free_energy(self, v: Tensor) -> Tensor:
        r"""(B,) free energy of states ``v`` (B, n_visible) float.

        .. math:: F(v) = -a \cdot v - \sum_j \ln(1 + e^{c_j + (W v)_j}), \qquad P(v) = e^{-F(v)} / Z

        Source: [Salakhutdinov2008].
        """
        parts = [v.new_empty(0)]
        for rows in v.split(max(1, ROWS // self.n_hidden)):
            z = self.links(rows.contiguous()).detach()
            softplus = torch.logaddexp(z, torch.zeros_like(z)).sum(1)
            parts.append(-(rows @ self.visible_bias) - softplus)
        return torch.cat(parts)


@torch.no_grad()
def gibbs(rbm: RBM, v: Tensor, sweeps: int, *, seed: int) -> Tensor:
    """States after some sweeps of Gibbs sampling, hidden units and then visible ones.

    Source: [Hinton2002].

    Args:
        rbm: the machine.
        v: (B, n_visible) float, 0 or 1, where the chains start.
        sweeps: how many.
        seed: of the randomness.
    Returns: (B, n_visible), as ``v``.
    """
    columns = v.t().contiguous()
    for sweep in range(sweeps):
        up, down = (sampling.sampling_law(seed, 2 * sweep + side) for side in (0, 1))
        h = sampling.sample(rbm.links, columns, rbm.hidden_bias, up)
        columns = sampling.sample(rbm.links, h, rbm.visible_bias, down, down=True)
    return columns.t()


def check_binary(x: Tensor, name: str = "x") -> None:
    """Refuse what is not a table (N, n) of zeros and ones. Raises ValueError."""
    if x.ndim != 2 or x.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: give rows of binary features (N, n)")
    strange = x[(x != 0) & (x != 1)]
    if len(strange):
        raise ValueError(
            f"{name} holds {strange[0].item():g}: an RBM takes 0 and 1 only, see"
            " papers.set.rbm.training.binarised"
        )
