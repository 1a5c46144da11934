//! Parameter-efficient fine-tuning: adapters beside a base that never changes.
//!
//! | method | file | paper |
//! |---|---|---|
//! | LoRA | [`lora`] | Hu et al. 2021, arXiv 2106.09685 |
//! | adaption prompt | [`adaption_prompt`] | Zhang et al. 2023, arXiv 2303.16199 |
//! | prefix tuning | [`prefix`] | Li and Liang 2021, arXiv 2101.00190 |
//! | prompt tuning | [`prompt`] | Lester, Al-Rfou and Constant 2021, arXiv 2104.08691 |
//! | P-tuning | [`p_tuning`] | Liu et al. 2021, arXiv 2103.10385 |
//!
//! A model has three kinds of places for them: LoRA sits on linear layers, adaption prompts on attention layers,
//! prefixes and virtual tokens in the [`preamble`] of the whole. [`stack`] puts named adapters on a model and takes them
//! off, of any methods together; [`store`] reads and writes PEFT's folders.

pub mod adaption_prompt;
pub mod config;
pub mod lora;
pub mod p_tuning;
pub mod part;
pub mod preamble;
pub mod prefix;
pub mod prompt;
pub mod stack;
pub mod store;
pub mod virtual_tokens;
