//! What is known of hosts and providers beyond the table.

/// Fragments of URL templates that look like a host.
pub(super) const FRAGMENTS: [&str; 2] = ["inference.generativeai", "runtime.sagemaker"];

/// Hosts and wildcards of platforms that serve far more than models. The bare domain of a company
/// is always one.
pub(super) const SHARED: [&str; 29] = [
    "*.azure-api.net",
    "*.azuredatabricks.net",
    "*.cognitiveservices.azure.cn",
    "*.cognitiveservices.azure.com",
    "*.cognitiveservices.azure.us",
    "*.privatelink.cognitiveservices.azure.com",
    "*.chatgpt.com",
    "*.cursor.com",
    "*.cursor.sh",
    "*.databricks.com",
    "*.hf.space",
    "*.snowflakecomputing.com",
    "*.windsurf.com",
    "aip.baidubce.com",
    "ai.azure.com",
    "api.cloudflare.com",
    "api.dataplatform.cloud.ibm.com",
    "api.github.com",
    "app.datarobot.com",
    "auth.openai.com",
    "auth.x.ai",
    "cloud.olakrutrim.com",
    "iam.cloud.ibm.com",
    "management.azure.com",
    "management.usgovcloudapi.net",
    "ngw.devices.sberbank.ru",
    "origin-tracker.githubusercontent.com",
    "qstash.upstash.io",
    "visual.volcengineapi.com",
];

/// Providers that pass calls on to models of other makers, under an account of their own: who may
/// call one may call many, and somebody between sees what is said.
///
/// Listed is who offers closed models of at least two of OpenAI, Anthropic and Google according to
/// anomalyco/models.dev@f3fc692 and is no cloud platform, whom songquanpeng/one-api has as a relay,
/// and who calls its product a gateway or router to other makers.
pub(super) const RESELLERS: [&str; 42] = [
    "302ai",
    "abacus",
    "aigc2d",
    "aihubmix",
    "aimlapi",
    "aiproxy",
    "anyapi",
    "api2d",
    "api2gpt",
    "assemblyai-llm-gateway",
    "auriko",
    "caipacity",
    "closeai",
    "cloudflare-ai-gateway",
    "cometapi",
    "cortecs",
    "edenai",
    "fastrouter",
    "freemodel",
    "frogbot",
    "gpt-router",
    "helicone-gateway",
    "helicone-proxy",
    "jiekou",
    "kilo",
    "llmgateway",
    "nano-gpt",
    "nearai",
    "ohmygpt",
    "openai-sb",
    "openaimax",
    "opencode-zen",
    "openrouter",
    "orcarouter",
    "poe",
    "pydantic-gateway",
    "qihang-ai",
    "qiniu",
    "requesty",
    "vercel-ai-gateway",
    "vivgrid",
    "zenmux",
];
