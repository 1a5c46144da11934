//! Drugs a patient may take at home.

/// A drug, its strengths and how often it is taken.
#[derive(Debug)]
pub(in crate::cohort) struct Drug {
    /// Generic name; the chronic diseases name it by this.
    pub(in crate::cohort) name: &'static str,
    /// Trade name, or the generic one again.
    pub(in crate::cohort) trade: &'static str,
    /// Strengths with their unit.
    pub(in crate::cohort) strengths: &'static [&'static str],
    /// Tablet, capsule and so on.
    pub(in crate::cohort) form: &'static str,
    /// Route.
    pub(in crate::cohort) route: &'static str,
    /// Frequency, as ordered.
    pub(in crate::cohort) times: &'static str,
}

const fn oral(name: &'static str, trade: &'static str, strengths: &'static [&'static str], times: &'static str) -> Drug {
    Drug { name, trade, strengths, form: "Tablet", route: "PO", times }
}

const fn other(
    name: &'static str,
    trade: &'static str,
    strengths: &'static [&'static str],
    form: &'static str,
    route: &'static str,
    times: &'static str,
) -> Drug {
    Drug { name, trade, strengths, form, route, times }
}

/// All of them.
pub(in crate::cohort) static DRUGS: &[Drug] = &[
    oral("lisinopril", "Zestril", &["5 mg", "10 mg", "20 mg", "40 mg"], "DAILY"),
    oral("amlodipine", "Norvasc", &["5 mg", "10 mg"], "DAILY"),
    oral("metoprolol tartrate", "Lopressor", &["12.5 mg", "25 mg", "50 mg", "100 mg"], "BID"),
    oral("metoprolol succinate", "Toprol XL", &["25 mg", "50 mg", "100 mg", "200 mg"], "DAILY"),
    oral("hydrochlorothiazide", "HCTZ", &["12.5 mg", "25 mg"], "DAILY"),
    oral("losartan", "Cozaar", &["25 mg", "50 mg", "100 mg"], "DAILY"),
    oral("clonidine", "Catapres", &["0.1 mg", "0.2 mg"], "BID"),
    oral("simvastatin", "Zocor", &["20 mg", "40 mg", "80 mg"], "DAILY"),
    oral("atorvastatin", "Lipitor", &["10 mg", "20 mg", "40 mg", "80 mg"], "DAILY"),
    oral("ezetimibe", "Zetia", &["10 mg"], "DAILY"),
    other("fish oil", "omega-3", &["1000 mg"], "Capsule", "PO", "DAILY"),
    oral("metformin", "Glucophage", &["500 mg", "850 mg", "1000 mg"], "BID"),
    other("insulin glargine", "Lantus", &["10 units", "18 units", "24 units", "40 units"], "Solution", "SC", "HS"),
    other("insulin lispro", "Humalog", &["per sliding scale"], "Solution", "SC", "QIDACHS"),
    oral("glipizide", "Glucotrol", &["5 mg", "10 mg"], "BID"),
    oral("aspirin", "ASA", &["81 mg", "325 mg"], "DAILY"),
    oral("clopidogrel", "Plavix", &["75 mg"], "DAILY"),
    other("nitroglycerin", "NTG", &["0.4 mg"], "Tablet, Sublingual", "SL", "PRN chest pain"),
    oral("isosorbide mononitrate", "Imdur", &["30 mg", "60 mg", "120 mg"], "DAILY"),
    oral("furosemide", "Lasix", &["20 mg", "40 mg", "80 mg"], "DAILY"),
    oral("torsemide", "Demadex", &["20 mg", "40 mg"], "DAILY"),
    oral("carvedilol", "Coreg", &["3.125 mg", "6.25 mg", "12.5 mg", "25 mg"], "BID"),
    oral("spironolactone", "Aldactone", &["25 mg", "50 mg", "100 mg"], "DAILY"),
    oral("digoxin", "Digoxin", &["125 mcg", "250 mcg"], "DAILY"),
    oral("warfarin", "Coumadin", &["2 mg", "2.5 mg", "5 mg", "7.5 mg"], "DAILY"),
    other("diltiazem", "Cardizem CD", &["120 mg", "180 mg", "240 mg"], "Capsule, Extended Release", "PO", "DAILY"),
    oral("amiodarone", "Pacerone", &["200 mg", "400 mg"], "DAILY"),
    other("albuterol", "ProAir", &["90 mcg"], "HFA Aerosol Inhaler", "IH", "Q6H PRN wheeze"),
    other("tiotropium", "Spiriva", &["18 mcg"], "Capsule, w/Inhalation Device", "IH", "DAILY"),
    other("fluticasone-salmeterol", "Advair", &["250-50 mcg", "500-50 mcg"], "Disk with Device", "IH", "BID"),
    oral("prednisone", "prednisone", &["5 mg", "10 mg", "20 mg"], "DAILY"),
    oral("montelukast", "Singulair", &["10 mg"], "DAILY"),
    other("calcitriol", "Rocaltrol", &["0.25 mcg", "0.5 mcg"], "Capsule", "PO", "DAILY"),
    other("epoetin", "Procrit", &["4000 units", "10000 units"], "Solution", "SC", "QMOWEFR"),
    oral("sodium bicarbonate", "sodium bicarb", &["650 mg"], "BID"),
    oral("sevelamer", "Renagel", &["800 mg", "1600 mg"], "TID W/MEALS"),
    other("nephrocaps", "Nephrocaps", &["1 cap"], "Capsule", "PO", "DAILY"),
    oral("cinacalcet", "Sensipar", &["30 mg", "60 mg"], "DAILY"),
    other("lactulose", "lactulose", &["30 ml"], "Syrup", "PO", "TID"),
    oral("nadolol", "Corgard", &["20 mg", "40 mg"], "DAILY"),
    oral("rifaximin", "Xifaxan", &["550 mg"], "BID"),
    oral("donepezil", "Aricept", &["5 mg", "10 mg"], "HS"),
    oral("memantine", "Namenda", &["5 mg", "10 mg"], "BID"),
    oral("carbidopa-levodopa", "Sinemet", &["25-100 mg", "50-200 mg"], "TID"),
    oral("levetiracetam", "Keppra", &["500 mg", "750 mg", "1000 mg"], "BID"),
    other("phenytoin", "Dilantin", &["100 mg"], "Capsule", "PO", "TID"),
    oral("valproic acid", "Depakote", &["250 mg", "500 mg"], "BID"),
    oral("levothyroxine", "Synthroid", &["25 mcg", "50 mcg", "88 mcg", "112 mcg"], "DAILY"),
    other("omeprazole", "Prilosec", &["20 mg", "40 mg"], "Capsule, Delayed Release(E.C.)", "PO", "DAILY"),
    oral("pantoprazole", "Protonix", &["40 mg"], "Q24H"),
    oral("ranitidine", "Zantac", &["150 mg"], "BID"),
    oral("citalopram", "Celexa", &["10 mg", "20 mg", "40 mg"], "DAILY"),
    oral("sertraline", "Zoloft", &["50 mg", "100 mg"], "DAILY"),
    oral("trazodone", "Desyrel", &["25 mg", "50 mg", "100 mg"], "HS"),
    oral("bupropion", "Wellbutrin SR", &["150 mg"], "BID"),
    oral("lorazepam", "Ativan", &["0.5 mg", "1 mg"], "Q8H PRN anxiety"),
    oral("quetiapine", "Seroquel", &["25 mg", "100 mg", "300 mg"], "HS"),
    oral("lithium", "Lithobid", &["300 mg", "450 mg"], "BID"),
    oral("olanzapine", "Zyprexa", &["5 mg", "10 mg"], "HS"),
    oral("thiamine", "thiamine HCl", &["100 mg"], "DAILY"),
    oral("folic acid", "folate", &["1 mg"], "DAILY"),
    oral("multivitamin", "MVI", &["1 tab"], "DAILY"),
    oral("methadone", "methadone", &["40 mg", "75 mg", "110 mg"], "DAILY"),
    oral("clonazepam", "Klonopin", &["0.5 mg", "1 mg"], "TID"),
    oral("efavirenz-emtricitabine-tenofovir", "Atripla", &["600-200-300 mg"], "DAILY"),
    oral("sulfamethoxazole-trimethoprim", "Bactrim DS", &["800-160 mg"], "MWF"),
    oral("cilostazol", "Pletal", &["50 mg", "100 mg"], "BID"),
    oral("alendronate", "Fosamax", &["70 mg"], "QSUN"),
    oral("calcium carbonate", "Tums", &["500 mg"], "TID"),
    oral("vitamin d", "cholecalciferol", &["400 unit", "1000 unit"], "DAILY"),
    other("tamsulosin", "Flomax", &["0.4 mg"], "Capsule", "PO", "HS"),
    oral("finasteride", "Proscar", &["5 mg"], "DAILY"),
    oral("doxazosin", "Cardura", &["2 mg", "4 mg"], "HS"),
    oral("allopurinol", "Zyloprim", &["100 mg", "300 mg"], "DAILY"),
    oral("colchicine", "colchicine", &["0.6 mg"], "DAILY"),
    oral("oxycodone", "oxycodone", &["5 mg", "10 mg"], "Q4-6H PRN pain"),
    oral("oxycodone sustained", "OxyContin", &["10 mg", "20 mg", "40 mg"], "Q12H"),
    oral("prochlorperazine", "Compazine", &["5 mg", "10 mg"], "Q6H PRN nausea"),
    oral("dexamethasone", "Decadron", &["2 mg", "4 mg"], "Q8H"),
    oral("anastrozole", "Arimidex", &["1 mg"], "DAILY"),
    oral("tamoxifen", "Nolvadex", &["20 mg"], "DAILY"),
    oral("acyclovir", "Zovirax", &["400 mg"], "Q8H"),
    oral("hydroxychloroquine", "Plaquenil", &["200 mg"], "BID"),
    oral("methotrexate", "MTX", &["7.5 mg", "15 mg"], "1X/WEEK"),
    other("tacrolimus", "Prograf", &["1 mg", "2 mg", "4 mg"], "Capsule", "PO", "Q12H"),
    oral("mycophenolate", "CellCept", &["500 mg", "1000 mg"], "BID"),
    oral("mesalamine", "Asacol", &["800 mg"], "TID"),
    oral("acetaminophen", "Tylenol", &["325 mg", "500 mg", "650 mg"], "Q6H PRN"),
    oral("ibuprofen", "Motrin", &["400 mg", "600 mg"], "Q8H PRN"),
    other("gabapentin", "Neurontin", &["100 mg", "300 mg", "600 mg"], "Capsule", "PO", "TID"),
    other("docusate", "Colace", &["100 mg"], "Capsule", "PO", "BID"),
    oral("senna", "Senokot", &["8.6 mg"], "BID PRN constipation"),
    oral("zolpidem", "Ambien", &["5 mg", "10 mg"], "HS PRN insomnia"),
    oral("ferrous sulfate", "iron", &["325 mg"], "DAILY"),
    oral("ciprofloxacin", "Cipro", &["250 mg", "500 mg"], "Q12H"),
    oral("levofloxacin", "Levaquin", &["500 mg", "750 mg"], "DAILY"),
    oral("metronidazole", "Flagyl", &["500 mg"], "TID"),
    other("cephalexin", "Keflex", &["500 mg"], "Capsule", "PO", "QID"),
    other("enoxaparin", "Lovenox", &["40 mg", "60 mg", "80 mg"], "Syringe", "SC", "Q12H"),
    oral("hydromorphone", "Dilaudid", &["2 mg", "4 mg"], "Q4H PRN pain"),
];

/// Looks a drug up; the name must be that of one.
pub(in crate::cohort) fn drug(name: &str) -> &'static Drug {
    DRUGS.iter().find(|drug| drug.name == name).unwrap_or_else(|| panic!("no drug is called {name}"))
}
