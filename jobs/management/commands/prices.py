from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from django.utils import timezone

from jobs import price_book
from jobs.management.jobcommand import JobCommand
from jobs.models import Price, ToolFee

COLUMNS = ("input", "cached_input", "cache_write", "output")


class Command(JobCommand):
    help = "The price book. `prices seed` adds what the maintained list has and the book has not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", nargs="?", choices=["list", "seed"], default="list")
        parser.add_argument("--model", default="", help="Only names that begin so.")
        parser.add_argument("--all", action="store_true", help="Also what no longer counts.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "seed":
            self._seed(as_json=options["json"])
        else:
            self._list(options["model"].lower(), everything=options["all"], as_json=options["json"])

    def _seed(self, *, as_json: bool) -> None:
        added = price_book.seed(timezone.now())
        if as_json:
            self.print_json({"prices": added.prices, "fees": added.fees})
            return
        self.stdout.write(f"New: {added.prices} prices, {added.fees} fees of tools.")

    def _list(self, begin: str, *, everything: bool, as_json: bool) -> None:
        now = timezone.now()
        prices, fees = Price.objects.all(), ToolFee.objects.all()
        if not everything:
            prices, fees = prices.not_superseded(now), fees.not_superseded(now)
        if begin:
            prices, fees = (
                prices.filter(model__startswith=begin),
                fees.filter(model__startswith=begin),
            )
        if as_json:
            listed = {
                "prices": [_price(row) for row in prices],
                "fees": [_fee(row) for row in fees],
            }
            self.print_json(listed)
            return
        if prices:
            self.stdout.write(
                f"{'USD per million tokens':<32}{'tier':<10}{'from':<12}"
                f"{'input':>10}{'cached':>10}{'write':>10}{'output':>10}"
            )
        for row in prices:
            amounts = "".join(f"{_usd(getattr(row, column)):>10}" for column in COLUMNS)
            long = ""
            if row.long_context_above is not None:
                above = f"above {row.long_context_above:,}"
                times = f"×{_usd(row.long_input_multiplier)}, ×{_usd(row.long_output_multiplier)}"
                long = f"  {above} {times}"
            self.stdout.write(
                f"{row.model:<32}{row.tier:<10}{row.effective_from:%Y-%m-%d}  {amounts}{long}"
            )
        for fee in fees:
            with_model = f" with {fee.model}" if fee.model else ""
            self.stdout.write(f"{fee.tool}{with_model}: {_usd(fee.usd)} a call")
        if not prices and not fees:
            self.stderr.write("Nothing is in the book. `manage.py prices seed` fills it.")


def _usd(amount: Decimal | None) -> str:
    return "unknown" if amount is None else f"{amount.normalize():f}"


def _price(row: Price) -> dict[str, Any]:
    return {
        "model": row.model,
        "tier": row.tier,
        "effective_from": row.effective_from,
        **{column: getattr(row, column) for column in COLUMNS},
        "long_context_above": row.long_context_above,
        "long_input_multiplier": row.long_input_multiplier,
        "long_output_multiplier": row.long_output_multiplier,
        "batch_multiplier": row.batch_multiplier,
        "source": row.source,
    }


def _fee(row: ToolFee) -> dict[str, Any]:
    return {
        "tool": row.tool,
        "model": row.model,
        "usd": row.usd,
        "effective_from": row.effective_from,
        "source": row.source,
    }
