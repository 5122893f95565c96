//! One row of the table of provider hosts.

use anyhow::{Result, bail};

use super::marks::{FRAGMENTS, RESELLERS, SHARED};

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plane {
    Invoke,
    Manage,
    Resolve,
}

impl Plane {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Manage => "manage",
            Self::Resolve => "resolve",
        }
    }
}

/// A host that the catalogue takes over.
#[derive(Debug)]
pub(super) struct Row {
    pub provider: String,
    pub host: String,
    pub plane: Plane,
    /// Management goes to this host as well as calls.
    pub also_manage: bool,
    /// The host also serves other things than models.
    pub is_shared: bool,
    /// The provider passes calls on to others.
    pub is_reseller: bool,
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
        // would make both as strict as the stricter: a host of both planes is one to invoke, and
        // says so.
        let (plane, also_manage) = match *plane {
            "manage" => (Plane::Manage, false),
            "invoke" => (Plane::Invoke, false),
            "both" => (Plane::Invoke, true),
            other => bail!("unknown plane `{other}`: invoke, manage and both are allowed"),
        };
        // Also in a remark: a host is not known better than the weakest part of what names it.
        if source.contains("RECALLED") {
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
        let provider = slug(provider, &host);
        Ok(Ok(Self {
            is_reseller: RESELLERS.contains(&provider.as_str()),
            provider,
            plane,
            also_manage,
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
        match (self.plane, self.is_shared) {
            (Plane::Manage, false) => format!("{provider}/manage"),
            (Plane::Manage, true) => format!("{provider}/manage-shared"),
            (Plane::Invoke | Plane::Resolve, true) if has_dedicated => format!("{provider}/shared"),
            (Plane::Invoke | Plane::Resolve, _) => provider.clone(),
        }
    }
}

/// The sources that a reader can look up: a repository, a page or a package. What stands in
/// parentheses are remarks, and so is a sentence.
pub(super) fn evidence(source: &str) -> Vec<String> {
    let names_a_place = |part: &&str| {
        let is_place = part.contains(['/', ':', '#']) || part.contains("==");
        is_place && !part.contains(char::is_whitespace)
    };
    source
        .split([';', '|'])
        .flat_map(|part| part.split(" + "))
        .map(|part| part.split(" (").next().unwrap_or(part).trim())
        .map(|part| part.strip_prefix("docs ").unwrap_or(part))
        .filter(names_a_place)
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

pub(super) fn is_host(host: &str) -> bool {
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
