"""What the simulated shop sells and where its visitors come from: plain tables. Prices are in fen (1/100 yuan)."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """Something to buy; `price` in fen."""

    sku: str
    name: str
    category: str
    price: int


@dataclass(frozen=True)
class Campaign:
    """What brought a visitor, as in a link's utm parameters."""

    name: str
    source: str
    medium: str


@dataclass(frozen=True)
class Device:
    """A kind of device: the channel it shops on, and what its SDK says about it."""

    channel: str
    user_agent: str
    kind: str
    width: int
    height: int


CURRENCY = "CNY"
NOBODYS_PHONE = "13800138000"  # what tills send for customers who give no number

PRODUCTS = (
    Product("TEA-01", "Longjing green tea, 100 g", "tea", 12_800),
    Product("TEA-02", "Aged pu'er cake", "tea", 29_900),
    Product("TEA-03", "Jasmine pearls, 50 g", "tea", 6_850),
    Product("TEA-04", "Oolong sampler", "tea", 9_990),
    Product("CUP-01", "Celadon cup", "teaware", 4_500),
    Product("CUP-02", "Glass teapot, 600 ml", "teaware", 15_900),
    Product("CUP-03", "Yixing teapot", "teaware", 68_000),
    Product("CUP-04", "Bamboo tray", "teaware", 21_000),
    Product("SNK-01", "Pineapple cakes, box of 12", "snacks", 5_680),
    Product("SNK-02", "Roasted chestnuts", "snacks", 2_290),
    Product("SNK-03", "Walnut cookies", "snacks", 1_950),
    Product("SNK-04", "Dried mango", "snacks", 2_480),
    Product("HOM-01", "Linen throw", "home", 25_900),
    Product("HOM-02", "Sandalwood candle", "home", 8_800),
    Product("HOM-03", "Cotton cushion", "home", 7_900),
    Product("HOM-04", "Stoneware vase", "home", 18_600),
    Product("CAR-01", "Camellia hand cream", "care", 5_200),
    Product("CAR-02", "Rice water soap", "care", 3_600),
    Product("CAR-03", "Silk face mask, 5 pieces", "care", 7_450),
    Product("CAR-04", "Rose water", "care", 6_300),
)

CAMPAIGNS = (
    Campaign("spring-tea", "wechat", "social"),
    Campaign("spring-tea", "baidu", "cpc"),
    Campaign("new-members", "xiaohongshu", "social"),
    Campaign("weekly-letter", "letter", "email"),
    Campaign("", "baidu", "organic"),
)

DEVICES = (
    Device(
        "web",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
        "desktop",
        1920,
        1080,
    ),
    Device(
        "web",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15",
        "desktop",
        1512,
        982,
    ),
    Device("app", "TeaHouse/5.2.1 (iPhone; iOS 18.1; zh_CN)", "mobile", 390, 844),
    Device("app", "TeaHouse/5.2.0 (Android 15; zh_CN)", "mobile", 412, 915),
    Device("mini_program", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) MicroMessenger/8.0.50 MiniProgramEnv", "mobile", 390, 844),
)

PAGES = (("Home", "/"), ("Tea", "/tea"), ("Teaware", "/teaware"), ("Gifts", "/gifts"), ("Sale", "/sale"))

STORES = ("shanghai-jingan", "shanghai-xuhui", "hangzhou-westlake")

SURNAMES = ("Wang", "Li", "Zhang", "Liu", "Chen", "Yang", "Zhao", "Huang", "Zhou", "Wu")
GIVEN_NAMES = ("Wei", "Fang", "Na", "Min", "Jing", "Lei", "Yan", "Jun", "Ting", "Hao", "Mei", "Bo")
