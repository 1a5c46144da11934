//! Chronic diseases: who has them, what they are called, what they do.

use super::Effect;
use super::effects::NONE;

/// A disease a patient lives with.
#[derive(Debug)]
pub(in crate::cohort) struct Chronic {
    /// Unique; other tables name it by this.
    pub(in crate::cohort) key: &'static str,
    /// Logit of having it at 65, and by how much it rises a decade.
    pub(in crate::cohort) logit: (f64, f64),
    /// Added to the logit for men.
    pub(in crate::cohort) male: f64,
    /// Diseases above in the table that go with it, and what they add to the logit.
    pub(in crate::cohort) with: &'static [(&'static str, f64)],
    /// Codes, the commonest first.
    pub(in crate::cohort) codes: &'static [&'static str],
    /// Codes that often stand beside, and their chance.
    pub(in crate::cohort) also: &'static [(&'static str, f64)],
    /// Added to the logit of dying in hospital.
    pub(in crate::cohort) risk: f64,
    /// As it stands in a list of past diseases.
    pub(in crate::cohort) listed: &'static str,
    /// As it stands in a sentence; empty for what nobody mentions there.
    pub(in crate::cohort) brief: &'static str,
    /// How it was handled in hospital; empty if nobody wrote about it.
    pub(in crate::cohort) managed: &'static str,
    /// Drugs taken for it, and their chance.
    pub(in crate::cohort) drugs: &'static [(&'static str, f64)],
    /// What it does to laboratory values.
    pub(in crate::cohort) effect: Effect,
}

const PLAIN: Chronic = Chronic {
    key: "",
    logit: (0.0, 0.0),
    male: 0.0,
    with: &[],
    codes: &[],
    also: &[],
    risk: 0.0,
    listed: "",
    brief: "",
    managed: "",
    drugs: &[],
    effect: NONE,
};

/// All of them; a disease may lean only on those above it.
pub(in crate::cohort) static CHRONIC: &[Chronic] = &[
    Chronic {
        key: "hypertension",
        logit: (0.6, 0.42),
        codes: &["4019", "4011"],
        listed: "{Hypertension|HTN|hypertension|HTN, well controlled}",
        brief: "{HTN|hypertension}",
        managed: "{Home antihypertensives|BP meds} were {initially held and restarted prior to discharge|continued}.",
        drugs: &[("lisinopril", 0.35), ("amlodipine", 0.28), ("metoprolol tartrate", 0.25), ("hydrochlorothiazide", 0.22), ("losartan", 0.1), ("clonidine", 0.04)],
        ..PLAIN
    },
    Chronic {
        key: "hyperlipidemia",
        logit: (-0.75, 0.28),
        with: &[("hypertension", 0.8)],
        codes: &["2724", "2720", "2722"],
        listed: "{Hyperlipidemia|HLD|hypercholesterolemia|Dyslipidemia|high cholesterol}",
        brief: "{HLD|hyperlipidemia|hyperchol}",
        managed: "{Continued statin|Home statin continued}.",
        drugs: &[("simvastatin", 0.4), ("atorvastatin", 0.4), ("ezetimibe", 0.06), ("fish oil", 0.05)],
        ..PLAIN
    },
    Chronic {
        key: "diabetes",
        logit: (-1.2, 0.12),
        male: 0.15,
        with: &[("hypertension", 0.8), ("hyperlipidemia", 0.4)],
        codes: &["25000", "25060", "25040", "25002", "25050", "25001"],
        also: &[("V5867", 0.25), ("3572", 0.12), ("36201", 0.08)],
        risk: 0.08,
        listed: "{Diabetes|DM2|Type 2 diabetes mellitus|DM type II, on insulin|NIDDM|IDDM{ c/b neuropathy| c/b retinopathy|}}",
        brief: "{DM2|DM|IDDM|NIDDM|type 2 diabetes}",
        managed: "{Maintained on ISS|Oral agents held, covered with sliding scale insulin}; {sugars were reasonably controlled|FS 120-220s}.",
        drugs: &[("metformin", 0.4), ("insulin glargine", 0.35), ("glipizide", 0.25), ("insulin lispro", 0.25)],
        effect: Effect { log_glucose: 0.4, ..NONE },
    },
    Chronic {
        key: "cad",
        logit: (-1.6, 0.55),
        male: 0.55,
        with: &[("hypertension", 0.6), ("hyperlipidemia", 0.8), ("diabetes", 0.5)],
        codes: &["41401", "41400"],
        also: &[("412", 0.28), ("V4581", 0.25), ("V4582", 0.25)],
        risk: 0.1,
        listed: "{CAD s/p {CABG|PCI|MI in <year>|stenting to LAD}|Coronary artery disease|CAD, s/p NSTEMI|Ischemic heart disease}",
        brief: "{CAD|CAD s/p {CABG|PCI|stents}|coronary disease}",
        managed: "{No active ischemia|Ruled out for MI}; {ASA, statin and beta blocker continued|cont ASA, BB, statin}.",
        drugs: &[("aspirin", 0.8), ("metoprolol succinate", 0.45), ("clopidogrel", 0.3), ("atorvastatin", 0.4), ("nitroglycerin", 0.2), ("isosorbide mononitrate", 0.2)],
        ..PLAIN
    },
    Chronic {
        key: "chf",
        logit: (-1.9, 0.42),
        with: &[("cad", 1.0), ("hypertension", 0.5), ("diabetes", 0.3)],
        codes: &["4280", "42822", "42832"],
        also: &[("4254", 0.12), ("4168", 0.12)],
        risk: 0.35,
        listed: "{CHF (EF <ef>%)|Systolic heart failure, EF <ef>%|Diastolic CHF|CHF, last EF <ef>%|Cardiomyopathy}",
        brief: "{CHF|CHF (EF <ef>%)|systolic HF|dCHF}",
        managed: "{Lasix held then resumed|Volume status monitored}; {appeared euvolemic at discharge|TTE EF <ef>%}.",
        drugs: &[("furosemide", 0.75), ("carvedilol", 0.35), ("lisinopril", 0.4), ("spironolactone", 0.15), ("digoxin", 0.15), ("torsemide", 0.08)],
        effect: Effect { sodium: -1.0, log_creatinine: 0.12, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "afib",
        logit: (-2.1, 0.55),
        male: 0.2,
        with: &[("hypertension", 0.3), ("chf", 0.9)],
        codes: &["42731"],
        also: &[("V5861", 0.5)],
        risk: 0.15,
        listed: "{Atrial fibrillation|AF on coumadin|Paroxysmal AF|PAF|Afib}",
        brief: "{AF on coumadin|afib|AF|PAF}",
        managed: "{Rate controlled|Rates 70-110} on {metoprolol|diltiazem}. Coumadin {was held for procedures|continued with INR goal 2-3|dosed by INR}.",
        drugs: &[("warfarin", 0.6), ("metoprolol tartrate", 0.5), ("diltiazem", 0.2), ("amiodarone", 0.15), ("digoxin", 0.15)],
        effect: Effect { log_inr: 0.35, heart_rate: 4.0, ..NONE },
    },
    Chronic {
        key: "copd",
        logit: (-1.7, 0.25),
        codes: &["496", "4928", "49120"],
        also: &[("V462", 0.15), ("V1582", 0.4), ("3051", 0.2)],
        risk: 0.3,
        listed: "{COPD|COPD on {home O2|2L NC at home}|Emphysema|COPD, FEV1 <25-65>% predicted}",
        brief: "{COPD|COPD on home O2|emphysema}",
        managed: "{Nebs continued|Continued home inhalers}; {no evidence of flare|received a short prednisone taper}.",
        drugs: &[("albuterol", 0.75), ("tiotropium", 0.45), ("fluticasone-salmeterol", 0.5), ("prednisone", 0.12)],
        effect: Effect { saturation: -2.0, bicarbonate: 1.5, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "asthma",
        logit: (-2.9, -0.25),
        male: -0.4,
        codes: &["49390", "49320"],
        listed: "{Asthma|asthma, no prior intubations|Reactive airway disease}",
        brief: "asthma",
        managed: "Albuterol nebs prn.",
        drugs: &[("albuterol", 0.9), ("montelukast", 0.2), ("fluticasone-salmeterol", 0.4)],
        ..PLAIN
    },
    Chronic {
        key: "ckd",
        logit: (-2.1, 0.38),
        with: &[("diabetes", 0.8), ("hypertension", 0.5), ("chf", 0.6)],
        codes: &["5859", "5853", "5854"],
        also: &[("40390", 0.7), ("28521", 0.25)],
        risk: 0.2,
        listed: "{CKD|CKD stage {III|IV}|CRI (baseline Cr 1.<4-9>)|Chronic kidney disease, baseline Cr 2.<0-5>}",
        brief: "{CKD|CRI|CKD (b/l Cr 1.<4-9>)}",
        managed: "Cr {remained at baseline|peaked then returned to baseline}; {meds renally dosed|nephrotoxins avoided}.",
        drugs: &[("calcitriol", 0.15), ("epoetin", 0.1), ("sodium bicarbonate", 0.08)],
        effect: Effect { log_creatinine: 0.65, hematocrit: -3.0, potassium: 0.25, bicarbonate: -1.5, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "esrd",
        logit: (-4.0, -0.05),
        male: 0.2,
        with: &[("diabetes", 1.2), ("hypertension", 0.8)],
        codes: &["5856"],
        also: &[("V4511", 0.6), ("40391", 0.6), ("28521", 0.35), ("58881", 0.2)],
        risk: 0.25,
        listed: "{ESRD on HD{ MWF| TTS|}|End stage renal disease on hemodialysis via {LUE AVF|tunneled line}}",
        brief: "{ESRD on HD|ESRD on HD (MWF)|ESRD on HD TTS}",
        managed: "{Continued on HD per home schedule|Renal followed, dialyzed while in house}.",
        drugs: &[("sevelamer", 0.7), ("nephrocaps", 0.7), ("cinacalcet", 0.25), ("epoetin", 0.3)],
        effect: Effect { log_creatinine: 1.75, hematocrit: -4.0, potassium: 0.5, bicarbonate: -1.0, log_troponin: 0.6, ..NONE },
    },
    Chronic {
        key: "cirrhosis",
        logit: (-3.25, -0.15),
        male: 0.5,
        codes: &["5712", "5715", "5716"],
        also: &[("5723", 0.35), ("45621", 0.3), ("2875", 0.3), ("78959", 0.25)],
        risk: 0.75,
        listed: "{EtOH cirrhosis|Cirrhosis c/b {ascites|varices and encephalopathy|HE}|NASH cirrhosis|Cirrhosis 2/2 HCV}",
        brief: "{cirrhosis|EtOH cirrhosis|HCV cirrhosis c/b varices|cirrhosis c/b ascites}",
        managed: "{Lactulose and rifaximin continued|Diuretics held for renal function|Hepatology followed}.",
        drugs: &[("lactulose", 0.6), ("spironolactone", 0.4), ("furosemide", 0.35), ("nadolol", 0.35), ("rifaximin", 0.3)],
        effect: Effect { log_bilirubin: 0.9, log_inr: 0.3, platelets: -110.0, sodium: -3.5, hematocrit: -4.0, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "hepatitis c",
        logit: (-3.6, -0.4),
        male: 0.4,
        with: &[("cirrhosis", 1.8)],
        codes: &["07054", "07070"],
        listed: "{Hepatitis C|HCV, untreated|HCV genotype 1}",
        brief: "{HCV|hep C}",
        ..PLAIN
    },
    Chronic {
        key: "stroke",
        logit: (-2.5, 0.38),
        with: &[("afib", 0.5), ("hypertension", 0.4)],
        codes: &["V1254", "43820", "4389", "4380"],
        risk: 0.15,
        listed: "{CVA{ with residual L sided weakness| without residual deficits|}|h/o TIA|s/p stroke x2|Prior CVA}",
        brief: "{CVA|prior stroke|h/o CVA}",
        drugs: &[("aspirin", 0.6), ("clopidogrel", 0.25), ("simvastatin", 0.4)],
        ..PLAIN
    },
    Chronic {
        key: "dementia",
        logit: (-3.6, 1.0),
        codes: &["2948", "3310", "29040", "29410"],
        risk: 0.35,
        listed: "{Dementia|Alzheimer's dementia|Vascular dementia, baseline AOx1}",
        brief: "{dementia|advanced dementia|Alzheimer's}",
        managed: "{Remained at baseline mental status|Frequent reorientation}.",
        drugs: &[("donepezil", 0.55), ("memantine", 0.25)],
        effect: Effect { coma_score: -0.6, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "parkinson",
        logit: (-4.4, 0.6),
        codes: &["3320"],
        risk: 0.1,
        listed: "{Parkinson's disease|PD}",
        brief: "Parkinson's",
        managed: "Sinemet was continued{ via NGT|}.",
        drugs: &[("carbidopa-levodopa", 0.9)],
        ..PLAIN
    },
    Chronic {
        key: "epilepsy",
        logit: (-3.4, -0.25),
        codes: &["34590", "78039"],
        listed: "{Seizure disorder|Epilepsy|h/o seizures on keppra}",
        brief: "{seizure d/o|epilepsy}",
        managed: "Home AEDs {continued|were continued IV while NPO}.",
        drugs: &[("levetiracetam", 0.55), ("phenytoin", 0.35), ("valproic acid", 0.1)],
        ..PLAIN
    },
    Chronic {
        key: "hypothyroidism",
        logit: (-1.8, 0.25),
        male: -1.0,
        codes: &["2449"],
        listed: "{Hypothyroidism|hypothyroid}",
        brief: "hypothyroidism",
        managed: "{Levothyroxine continued|Cont home synthroid}.",
        drugs: &[("levothyroxine", 0.95)],
        ..PLAIN
    },
    Chronic {
        key: "gerd",
        logit: (-1.5, 0.08),
        codes: &["53081"],
        listed: "{GERD|Acid reflux|GERD/hiatal hernia}",
        drugs: &[("omeprazole", 0.5), ("pantoprazole", 0.25), ("ranitidine", 0.15)],
        ..PLAIN
    },
    Chronic {
        key: "depression",
        logit: (-2.0, -0.08),
        male: -0.5,
        codes: &["311", "29620", "30000"],
        listed: "{Depression|Depression/anxiety|Major depression}",
        brief: "depression",
        managed: "{SSRI continued|Mood stable, home meds continued}.",
        drugs: &[("citalopram", 0.35), ("sertraline", 0.3), ("trazodone", 0.2), ("bupropion", 0.1), ("lorazepam", 0.15)],
        ..PLAIN
    },
    Chronic {
        key: "bipolar",
        logit: (-4.2, -0.35),
        codes: &["29680", "2967", "29570"],
        listed: "{Bipolar disorder|Schizoaffective d/o|Bipolar d/o, prior psych admissions}",
        brief: "{bipolar disorder|schizoaffective d/o}",
        drugs: &[("quetiapine", 0.4), ("lithium", 0.25), ("olanzapine", 0.2), ("valproic acid", 0.3)],
        ..PLAIN
    },
    Chronic {
        key: "alcohol",
        logit: (-2.8, -0.45),
        male: 0.9,
        with: &[("cirrhosis", 1.5)],
        codes: &["30500", "30390", "30391", "30301"],
        risk: 0.1,
        listed: "{EtOH abuse|Alcohol abuse, h/o DTs|Alcoholism|EtOH dependence}",
        brief: "{EtOH abuse|alcoholism|heavy EtOH use}",
        managed: "Monitored on CIWA; {given thiamine, folate and MVI|no signs of withdrawal}.",
        drugs: &[("thiamine", 0.4), ("folic acid", 0.4), ("multivitamin", 0.3)],
        effect: Effect { platelets: -30.0, log_bilirubin: 0.15, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "iv drug use",
        logit: (-5.2, -0.75),
        male: 0.5,
        with: &[("hepatitis c", 2.6)],
        codes: &["30550", "30400", "30590"],
        listed: "{IVDU|Polysubstance abuse|Heroin abuse, on methadone}",
        brief: "{IVDU|polysubstance abuse}",
        drugs: &[("methadone", 0.45), ("clonazepam", 0.2)],
        ..PLAIN
    },
    Chronic {
        key: "cocaine",
        logit: (-4.9, -0.6),
        male: 0.4,
        with: &[("iv drug use", 1.5), ("alcohol", 1.0)],
        codes: &["30560"],
        listed: "{Cocaine abuse|crack cocaine use}",
        brief: "cocaine use",
        ..PLAIN
    },
    Chronic {
        key: "hiv",
        logit: (-5.0, -0.55),
        male: 0.8,
        with: &[("iv drug use", 1.2)],
        codes: &["042", "V08"],
        risk: 0.3,
        listed: "{HIV/AIDS (CD4 <12-180>)|HIV on HAART, CD4 <200-600>|HIV}",
        brief: "{HIV|HIV/AIDS|HIV (CD4 <20-500>)}",
        managed: "HAART {continued|held in acute setting, restarted per ID}.",
        drugs: &[("efavirenz-emtricitabine-tenofovir", 0.5), ("sulfamethoxazole-trimethoprim", 0.45)],
        effect: Effect { white_cells: -1.5, platelets: -25.0, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "pvd",
        logit: (-2.6, 0.35),
        male: 0.3,
        with: &[("cad", 0.8), ("diabetes", 0.7)],
        codes: &["4439", "44020", "44021"],
        risk: 0.12,
        listed: "{PVD|PVD s/p {L fem-<doctor> bypass|bilateral iliac stents}|Peripheral arterial disease}",
        brief: "{PVD|PAD}",
        drugs: &[("clopidogrel", 0.3), ("aspirin", 0.5), ("cilostazol", 0.12)],
        ..PLAIN
    },
    Chronic {
        key: "obesity",
        logit: (-2.3, -0.15),
        codes: &["27800", "27801"],
        also: &[("32723", 0.35), ("V8541", 0.1)],
        listed: "{Obesity|Morbid obesity|Obesity, OSA on CPAP}",
        brief: "{morbid obesity|obesity|OSA}",
        ..PLAIN
    },
    Chronic {
        key: "osteoporosis",
        logit: (-2.7, 0.7),
        male: -1.6,
        codes: &["73300"],
        listed: "{Osteoporosis|osteopenia}",
        drugs: &[("alendronate", 0.45), ("calcium carbonate", 0.5), ("vitamin d", 0.5)],
        ..PLAIN
    },
    Chronic {
        key: "bph",
        logit: (-12.0, 0.6),
        male: 10.2,
        codes: &["60000", "60001"],
        listed: "{BPH|Benign prostatic hypertrophy|BPH s/p TURP}",
        drugs: &[("tamsulosin", 0.6), ("finasteride", 0.25), ("doxazosin", 0.1)],
        ..PLAIN
    },
    Chronic {
        key: "gout",
        logit: (-2.9, 0.3),
        male: 0.8,
        with: &[("ckd", 0.9)],
        codes: &["2749"],
        listed: "{Gout|gout}",
        drugs: &[("allopurinol", 0.7), ("colchicine", 0.2)],
        ..PLAIN
    },
    Chronic {
        key: "lung cancer",
        logit: (-4.1, 0.2),
        with: &[("copd", 1.3)],
        codes: &["1629", "1623", "1628"],
        also: &[("1983", 0.2), ("1985", 0.2)],
        risk: 0.85,
        listed: "{NSCLC s/p {chemo/XRT|RUL lobectomy}|Lung CA, stage {IIIB|IV}|Small cell lung CA}",
        brief: "{NSCLC|stage IV lung CA|metastatic lung cancer}",
        drugs: &[("oxycodone", 0.3), ("prochlorperazine", 0.25), ("dexamethasone", 0.15)],
        effect: Effect { hematocrit: -3.5, sodium: -2.0, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "breast cancer",
        logit: (-3.0, 0.15),
        male: -6.0,
        codes: &["V103", "1749"],
        listed: "{Breast CA s/p {lumpectomy and XRT|mastectomy}|h/o breast cancer on tamoxifen}",
        brief: "{breast CA|h/o breast cancer}",
        drugs: &[("anastrozole", 0.2), ("tamoxifen", 0.1)],
        ..PLAIN
    },
    Chronic {
        key: "prostate cancer",
        logit: (-12.5, 0.6),
        male: 9.8,
        codes: &["V1046", "185"],
        listed: "{Prostate CA s/p {XRT|prostatectomy}|h/o prostate cancer}",
        brief: "prostate CA",
        ..PLAIN
    },
    Chronic {
        key: "colon cancer",
        logit: (-4.0, 0.3),
        codes: &["V1005", "1539", "1977"],
        risk: 0.35,
        listed: "{Colon CA s/p {hemicolectomy|resection}|h/o colon cancer|Metastatic colon CA on FOLFOX}",
        brief: "{colon CA|h/o colon CA|metastatic colon CA}",
        ..PLAIN
    },
    Chronic {
        key: "lymphoma",
        logit: (-4.4, 0.05),
        codes: &["20280", "20300", "20410"],
        risk: 0.6,
        listed: "{NHL s/p R-CHOP|Multiple myeloma|CLL|Follicular lymphoma}",
        brief: "{NHL|multiple myeloma|CLL}",
        drugs: &[("acyclovir", 0.4), ("sulfamethoxazole-trimethoprim", 0.3), ("allopurinol", 0.2)],
        effect: Effect { hematocrit: -4.0, platelets: -60.0, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "lupus",
        logit: (-5.2, -0.35),
        male: -1.8,
        codes: &["7100", "7140"],
        risk: 0.1,
        listed: "{SLE|Lupus nephritis|Rheumatoid arthritis on {MTX|prednisone}}",
        brief: "{SLE|RA on MTX}",
        drugs: &[("prednisone", 0.6), ("hydroxychloroquine", 0.5), ("methotrexate", 0.25)],
        ..PLAIN
    },
    Chronic {
        key: "transplant",
        logit: (-5.0, -0.3),
        male: 0.2,
        codes: &["V420", "V427", "V421"],
        risk: 0.25,
        listed: "{s/p {renal|liver} transplant <year>|Kidney transplant on tacrolimus|s/p OLT}",
        brief: "{s/p kidney transplant|s/p OLT}",
        managed: "{Tacrolimus levels followed|Transplant followed, immunosuppression continued}.",
        drugs: &[("tacrolimus", 0.85), ("mycophenolate", 0.7), ("prednisone", 0.7), ("sulfamethoxazole-trimethoprim", 0.5)],
        effect: Effect { log_creatinine: 0.35, ..NONE },
        ..PLAIN
    },
    Chronic {
        key: "crohn",
        logit: (-4.6, -0.35),
        codes: &["5559", "5569"],
        listed: "{Crohn's disease|Ulcerative colitis|IBD}",
        brief: "{Crohn's|UC}",
        drugs: &[("mesalamine", 0.5), ("prednisone", 0.2)],
        ..PLAIN
    },
    Chronic {
        key: "arthritis",
        logit: (-1.9, 0.42),
        male: -0.4,
        codes: &["71590", "71536"],
        listed: "{Osteoarthritis|OA|DJD|arthritis}",
        drugs: &[("acetaminophen", 0.3), ("oxycodone", 0.12), ("ibuprofen", 0.12)],
        ..PLAIN
    },
    Chronic {
        key: "sleep apnea",
        logit: (-2.9, -0.05),
        male: 0.5,
        with: &[("obesity", 1.8)],
        codes: &["32723"],
        listed: "{OSA on CPAP|Sleep apnea, noncompliant with CPAP|OSA}",
        brief: "OSA",
        ..PLAIN
    },
    Chronic {
        key: "chronic pain",
        logit: (-2.6, -0.15),
        codes: &["33829", "7245", "7242"],
        listed: "{Chronic back pain|chronic low back pain s/p laminectomy|Chronic pain on narcotics}",
        brief: "chronic pain",
        managed: "Home pain regimen {continued|resumed}.",
        drugs: &[("oxycodone", 0.5), ("gabapentin", 0.4), ("oxycodone sustained", 0.2)],
        ..PLAIN
    },
];
