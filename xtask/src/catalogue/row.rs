//! One row of the table of provider hosts.

use anyhow::{Result, bail};

/// A host that the catalogue takes over.
#[derive(Debug)]
pub(super) struct Row {
    pub provider: String,
    pub host: String,
    pub is_manage: bool,
    /// The host also serves other things than models.
    pub is_shared: bool,
    pub evidence: Vec<String>,
}

/// Why a row stays out of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dropped {
    Recalled,
    NoPublicSource,
    NotAHost,
}

impl Dropped {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Recalled => "nothing but memory vouches for them",
            Self::NoPublicSource => "their source cannot be looked up",
            Self::NotAHost => "they are not host names",
        }
    }
}

/// Fragments of URL templates that look like a host.
const FRAGMENTS: [&str; 2] = ["inference.generativeai", "runtime.sagemaker"];

/// Hosts and wildcards of platforms that serve far more than models. The bare domain of a company
/// is always one.
const SHARED: [&str; 27] = [
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
    "ngw.devices.sberbank.ru",
    "origin-tracker.githubusercontent.com",
    "qstash.upstash.io",
    "visual.volcengineapi.com",
];

impl Row {
    /// # Errors
    /// If the line does not have four columns or an unknown plane.
    pub(super) fn parse(line: &str) -> Result<Result<Self, Dropped>> {
        let columns = line.split('\t').collect::<Vec<_>>();
        let [provider, host, plane, source] = columns.as_slice() else {
            bail!(
                "four columns separated by tabs are needed, found {}",
                columns.len()
            );
        };
        // An address cannot tell the planes apart, and a second endpoint on the same address
        // would make both as strict as the stricter: a host of both planes is one to invoke.
        let is_manage = match *plane {
            "manage" => true,
            "invoke" | "both" => false,
            other => bail!("unknown plane `{other}`: invoke, manage and both are allowed"),
        };
        if source.starts_with("RECALLED") {
            return Ok(Err(Dropped::Recalled));
        }
        let evidence = evidence(source);
        if evidence.is_empty() {
            return Ok(Err(Dropped::NoPublicSource));
        }
        let host = without_templates(host);
        if !is_host(&host) {
            return Ok(Err(Dropped::NotAHost));
        }
        let is_apex = host.matches('.').count() == 1;
        Ok(Ok(Self {
            provider: slug(provider, &host),
            is_manage,
            is_shared: is_apex || host.starts_with("www.") || SHARED.contains(&host.as_str()),
            evidence,
            host,
        }))
    }

    /// The name of the endpoint that this host belongs to.
    ///
    /// A shared host of a provider that also has dedicated ones is an endpoint of its own, so that
    /// it can be judged by itself.
    pub(super) fn endpoint(&self, has_dedicated: bool) -> String {
        if let Some((service, region)) = aws_service(&self.host) {
            return match region {
                Some(region) => format!("{service}/{region}"),
                None => service,
            };
        }
        let provider = &self.provider;
        match (self.is_manage, self.is_shared) {
            (false, true) if has_dedicated => format!("{provider}/shared"),
            (false, _) => provider.clone(),
            (true, false) => format!("{provider}/manage"),
            (true, true) => format!("{provider}/manage-shared"),
        }
    }
}

/// The sources that a reader can look up: a repository, a page or a package. What stands in
/// parentheses are remarks.
fn evidence(source: &str) -> Vec<String> {
    let is_public = |part: &&str| {
        let names_a_place = part.contains(['/', ':']) || part.contains("==");
        part.starts_with("docs ") || (names_a_place && !part.starts_with("RECALLED"))
    };
    source
        .split([';', '|'])
        .map(|part| part.split(" (").next().unwrap_or(part).trim())
        .filter(is_public)
        .map(|part| part.strip_prefix("docs ").unwrap_or(part))
        .map(str::to_owned)
        .collect()
}

/// `<resource>` and `{region}` as `*`.
fn without_templates(host: &str) -> String {
    let mut text = String::new();
    let mut inside = false;
    for character in host.chars() {
        match character {
            '<' | '{' => {
                inside = true;
                text.push('*');
            }
            '>' | '}' => inside = false,
            other if !inside => text.push(other.to_ascii_lowercase()),
            _ => {}
        }
    }
    text
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*');
        !label.is_empty() && label.bytes().all(allowed)
    };
    host.contains('.') && host.split('.').all(is_label) && !FRAGMENTS.contains(&host)
}

/// `azure-openai/foundry` and `aws-bedrock (aws-cn)` are spellings of one provider.
fn slug(provider: &str, host: &str) -> String {
    let main = provider.split([' ', '/']).next().unwrap_or(provider);
    match main {
        "aws-sagemaker-runtime" | "aws-sagemaker-job-runtime" => "aws-sagemaker".to_owned(),
        "aws-bedrock-mantle" | "aws-bedrock-agentcore-gateway" => "aws-bedrock".to_owned(),
        // Private names of public services.
        "aws-privatelink" if host.contains(".sagemaker.") => "aws-sagemaker".to_owned(),
        "aws-privatelink" => "aws-bedrock".to_owned(),
        other => other.replace('_', "-"),
    }
}

/// `bedrock-runtime-fips.us-east-1.amazonaws.com` → `bedrock-runtime`, `us-east-1`.
fn aws_service(host: &str) -> Option<(String, Option<&str>)> {
    const SUFFIXES: [&str; 12] = [
        ".vpce.amazonaws.com",
        ".amazonaws.com",
        ".amazonaws.com.cn",
        ".amazonaws.eu",
        ".api.aws",
        ".api.amazonwebservices.com.cn",
        ".api.amazonwebservices.eu",
        ".c2s.ic.gov",
        ".sc2s.sgov.gov",
        ".cloud.adc-e.uk",
        ".csp.hci.ic.gov",
        ".on.aws",
    ];
    let stem = SUFFIXES
        .iter()
        .find_map(|suffix| host.strip_suffix(suffix))?;
    let (service, region) = stem.rsplit_once('.')?;
    let service = service
        .strip_prefix("*.")
        .unwrap_or(service)
        .replace("-fips", "");
    Some((service, (region != "*").then_some(region)))
}
